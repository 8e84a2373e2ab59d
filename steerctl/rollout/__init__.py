"""Problems -> groups -> batches, against the protocols only."""
