"""ci/gpu-check's areas. report.py: running, time, what is written; machine.py, speed.py, right.py: an area a function."""
