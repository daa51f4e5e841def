"""The images of the test bed: a MySQL image made from Debian packages and the operator image.

`python -m tests.bed.images build` builds what is missing and writes `.bed/images.json`; see `__main__`.
Everything is cached outside the checkout by the hash of its inputs (`cache`).
"""
