"""Where a batch fails by a bug, halves of it are projected, so that one record cannot hold up the others for ever."""

from __future__ import annotations

import structlog

from projections.project import Fenced, Projected, Projector
from projections.records import Record
from runtime.problems import Retry

log = structlog.get_logger()


def project_bisecting(projector: Projector, records: list[Record]) -> Projected:
    """Projects; where the whole fails by a bug, projects halves, so that one record cannot hold up the others for ever.

    A single record that still fails is put into quarantine as it is.
    """
    try:
        return projector.project(records)
    except (Retry, Fenced):
        raise
    except Exception as error:
        log.exception("a batch failed", records=len(records))
        projector.close()
        if len(records) == 1:
            return projector.quarantine(records[0], f"projecting it failed: {type(error).__name__}: {str(error)[:300]}")
        half = len(records) // 2
        first, second = project_bisecting(projector, records[:half]), project_bisecting(projector, records[half:])
        return Projected(first.arrivals + second.arrivals, first.poison + second.poison, second.outcome)
