"""The run folder: the only room that knows file names. The contract is docs/run-folder.md."""
