"""Readers of files from outside: whatever lies in a file, out comes its value or one line."""
