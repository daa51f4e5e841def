"""Persistent volumes of the bed: `local` volumes on loop-mounted XFS files of the requested size.

`plan` decides from what the API server shows, `disks` makes, grows and removes file systems, `__main__` is the
background process that joins them. Volumes really fill up, ownership by fsGroup works, and they grow online.
"""
