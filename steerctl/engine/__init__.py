"""The engines: DeepSpeed trains (policy), a plain copy samples (embedded); the only room that imports deepspeed."""
