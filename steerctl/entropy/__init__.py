"""The theory as pure functions on tensors: `stats` (what a state's softmax is like), `change` (what an update does)."""
