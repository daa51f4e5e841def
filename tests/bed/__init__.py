"""The test bed: a real Kubernetes on one bare Debian machine. `python -m tests.bed up`; see docs of each module.

Tests import `tests.bed.faults` (what to break), `tests.bed.config.Paths` (where things are) and
`tests.bed.load.load_images`.
"""
