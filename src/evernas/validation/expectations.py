"""Running suites in Great Expectations and gathering its Data Docs; which rules there are is said elsewhere."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.errors import EvernasError

_COMPLETE = {"result_format": "COMPLETE", "include_unexpected_rows": False}


class Inspector:
    """An ephemeral context; every suite that it checked becomes a page of one Data Docs site once it is published."""

    def __init__(self, site: Path) -> None:
        # Great Expectations reports its use over the network unless this is set before it is imported.
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        import great_expectations as gx

        self._gx = gx
        self._context: Any = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        self._context.add_data_docs_site(
            "site",
            {
                "class_name": "SiteBuilder",
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)},
            },
        )

    def failures(self, suite: str, frame: Any, expectations: Mapping[str, Any]) -> dict[str, npt.NDArray[np.bool_]]:
        """For each expectation by name, the failing rows of the pandas frame. EvernasError if one cannot be checked."""
        if len(frame) == 0:
            return {name: np.zeros(0, bool) for name in expectations}
        context, gx = self._context, self._gx
        # Great Expectations digests all that it is handed: columns that no rule is on would cost more than the rules.
        frame = frame[list(dict.fromkeys(e.column for e in expectations.values() if e.column in frame))]
        batch = (
            context.data_sources.add_pandas(suite)
            .add_dataframe_asset("rows")
            .add_batch_definition_whole_dataframe("all")
        )
        held = context.suites.add(gx.ExpectationSuite(suite, expectations=list(expectations.values())))
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=suite, data=batch, suite=held))
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=suite,
                validation_definitions=[definition],
                result_format=_COMPLETE,
            )
        )
        (outcome,) = checkpoint.run(batch_parameters={"dataframe": frame}).run_results.values()
        results = {_identity(result.expectation_config): result for result in outcome.results}
        return {
            name: _failing(name, results[_identity(e.configuration)], len(frame)) for name, e in expectations.items()
        }

    def publish(self) -> None:
        """Write the site, once for all suites."""
        self._context.build_data_docs(site_names=["site"])


@contextmanager
def data_docs(folder: Path | None) -> Iterator[Path]:
    """A folder to build a site in, which takes the place of `folder` at the end; thrown away if that is None."""
    parent = None if folder is None else folder.parent
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    built = Path(tempfile.mkdtemp(prefix=".tmp-docs-", dir=parent))
    built.chmod(0o755)
    try:
        yield built
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
            built.replace(folder)
    finally:
        shutil.rmtree(built, ignore_errors=True)


def _identity(configuration: Any) -> tuple[str, str]:
    return configuration.type, configuration.kwargs["column"]


def _failing(name: str, result: Any, rows: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(rows, bool)
    count = result.result.get("unexpected_count")
    listed = result.result.get("unexpected_index_list")
    # A missing column or a broken metric comes back as a failed result without rows, which must not pass for good rows.
    if count is None or listed is None or len(listed) != count:
        raise EvernasError(
            f"The rule {name} could not be checked: {result.exception_info}. This is a fault in evernas or in Great "
            "Expectations, not in the data: report it."
        )
    mask[np.asarray(listed, dtype=np.int64)] = True
    return mask
