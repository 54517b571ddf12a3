"""The numbers Homing promises, measured: ``python -m bench.run``. Results are kept in ``bench/results/``."""
