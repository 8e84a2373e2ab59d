"""What `math_verify` is made of: find the answer, normalise it, compare what is easy here, the rest in workers."""
