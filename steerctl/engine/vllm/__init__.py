"""Sampling on vLLM servers in processes of their own; nothing here imports vLLM, everything goes over HTTP.

generator   the generator a run sees                 fleet       starts, watches and restarts servers, pushes weights
client      many requests in flight, redone on loss  server      one server process and what its log says
wire        one HTTP request, its failures named     command     its command line and environment
weights     weight folders on disk                   guardian    the process that dies, and ends the server, with us
blame       which parameters a server got wrong      versions    which vLLM this was made for
attached    servers that somebody else started       endpoint    where a server is, for every rank
"""
