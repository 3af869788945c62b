"""Cells of two species: donors are kept apart, and whose labels are used is said."""

import numpy as np

from spiketype.datasets.allen import table as allen
from spiketype.datasets.allen.species import TESTED, parts, usable
from tests.datasets import two_species


def test_parts_keep_donors_apart_and_say_whose_labels_are_used(tmp_path):
    folder = two_species.folder(tmp_path / "data")
    table = usable(allen.load(folder), "impute")
    assert len(usable(allen.load(folder), "drop").x) < len(table.x)
    for labels, folds in (("mouse", 3), ("both", 3), ("mouse-to-human", 3)):
        found = parts(table, labels, folds, 2, 0)
        assert len(found) == 6
        for part in found:
            assert set(table.species[part.test]) == {TESTED[labels]}
            assert part.labelled == (labels == "both")
            trained = part.mouse if labels == "mouse" else part.human
            assert not set(table.donor[trained]) & set(table.donor[part.test])
        tested = np.sort(np.concatenate([part.test for part in found[:3]]))
        np.testing.assert_array_equal(tested, np.flatnonzero(table.species == TESTED[labels]))
