"""Running code that nobody has read: tiers of confinement, a worker per core, verdicts outside (docs/sandbox.md).

inside/     what runs in there: fork server, system-call filter, file rules, the candidate's harness
tiers.py    bubblewrap, or Landlock with the system-call filter; how each is started, which of them holds here
job.py      what is sent in and what comes back
probe.py    which tier holds here
worker.py   one sandboxed fork server and the pipe to it
pool.py     many checks over the workers; replaces those that fail
tests.py    what a problem's tests are
prepared.py tests in the form the sandbox takes, expected values filled in
check.py    one response against the tests: which jobs to run, and what their replies mean
compare.py  returned values against expected ones, and the special oracles
"""
