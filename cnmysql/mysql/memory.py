"""Server memory from the container's limit. Pure.

Without these mysqld would take the machine's memory for its own. A value the user set always wins.
"""

from __future__ import annotations

MIB = 1024**2
GIB = 1024**3
CHUNK = 128 * MIB
"""innodb_buffer_pool_chunk_size: InnoDB rounds the pool up to a multiple of it times the instances; we round down."""
DEFAULT_MAX_CONNECTIONS = 151
SMALL_MAX_CONNECTIONS = 75
_PER_CONNECTION = MIB
_RESERVE = 512 * MIB
_MIN_POOL = 64 * MIB


def defaults(limit: int, *, cpu: int | None, volume: int | None, max_connections: int | None) -> dict[str, str]:
    """Values for a memory limit in bytes. `cpu` in whole cores, `volume` in bytes, where known."""
    connections = max_connections or (SMALL_MAX_CONNECTIONS if limit < GIB else DEFAULT_MAX_CONNECTIONS)
    pool = buffer_pool(limit, connections)
    found = {
        "innodb_buffer_pool_size": pool,
        "innodb_buffer_pool_instances": 1 if pool < GIB else max(1, min(8, pool // GIB, cpu or 8)),
        "innodb_redo_log_capacity": redo_log(pool, volume),
        "temptable_max_ram": min(max(limit * 3 // 100, 64 * MIB), GIB),
        "max_connections": connections,
    }
    if limit < 2 * GIB:
        found["innodb_log_buffer_size"] = 16 * MIB
    return {key: str(value) for key, value in found.items()}


def buffer_pool(limit: int, connections: int) -> int:
    """A share of the limit that grows with it, less what the connections and the rest of the server need."""
    share = 25 if limit < GIB else 45 if limit < 4 * GIB else 60 if limit < 16 * GIB else 70
    wanted = min(limit * share // 100, limit - _RESERVE - connections * _PER_CONNECTION)
    if wanted >= CHUNK:
        return wanted // CHUNK * CHUNK
    return max(_MIN_POOL, wanted // MIB * MIB)


def redo_log(pool: int, volume: int | None) -> int:
    """A quarter of the pool between 100 MiB and 8 GiB, a tenth of the volume at most (8 MiB is the server's least)."""
    size = min(max(pool // 4, 100 * MIB), 8 * GIB)
    if volume is not None:
        size = min(size, volume // 10)
    return max(size // MIB * MIB, 8 * MIB)
