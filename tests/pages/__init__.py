"""Promises 1 to 5: pages run, print what they say, count right, derive right, and say the same in two languages."""
