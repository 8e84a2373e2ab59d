"""Run folders -> tables and figures. Reads the store, knows no engine."""
