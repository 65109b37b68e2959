"""Groups of the `evernas` command: arguments in, sentences and exit codes out; the work is elsewhere."""
