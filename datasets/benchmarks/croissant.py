"""Croissant metadata of a benchmark (mlcommons.org/croissant, 1.0): what loaders and catalogues of data sets read.

It has the responsible-AI fields (rai:), and no date: the same benchmark gives the same bytes.
"""

from typing import NamedTuple

from spiketype.datasets.benchmarks.card import made_by, why
from spiketype.datasets.benchmarks.folder import DATA, SAMPLES
from spiketype.datasets.benchmarks.samples import Samples
from spiketype.datasets.benchmarks.specification import GENERATED, Kind, Specification
from spiketype.edge import Json

CONFORMS = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
TERMS = (
    "citeAs column conformsTo equivalentProperty extract field fileObject fileProperty fileSet format includes "
    "isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate "
    "separator source subField transform"
)
CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in TERMS.split()},
    "conformsTo": "dct:conformsTo",
}
COLUMNS = {
    "id": "name of the sample",
    "sample": f"number of the sample, and its row in the arrays of {DATA}",
    "cell": "cell, or cell model, that the sample is of",
    "type": "m/e type of the cell model",
    "m_type": "morphological type of the cell model",
    "ei": "excitatory or inhibitory",
    "x_um": "position of the soma in um, away from the probe",
    "y_um": "position of the soma in um, in the plane of the probe",
    "z_um": "position of the soma in um, in the plane of the probe",
    "distance_um": "distance in um from the soma to the nearest contact",
    "amplitude_uV": "largest amplitude in uV over the contacts: at each the height from the negative peak to the later "
    "positive peak, 0 where it is below 5 uV",
    "day": "day of the recording",
    "serotonergic": "whether the cell is serotonergic; empty where nobody knows",
    "atypical": "whether the cell is atypical: yes or no",
    "laboratory": "set of recordings that the unit is of",
    "animal": "animal that the unit is of, or the unit where the file names no animals",
    "cell_type": "type of the cell by those who recorded it",
    "subclass": "transgenic subclass",
    "donor": "donor of the cell",
    "dendrite": "whether dendrites are spiny or aspiny",
    "species": "mouse or human",
    "digit": "the digit that is written",
}
HUMAN: tuple[Kind, ...] = ("allen-species",)


class File(NamedTuple):
    """A file as metadata name it.

    Attributes:
        sha256: of its content.
        size: in bytes.
    """

    sha256: str
    size: int


def metadata(specification: Specification, samples: Samples, table: File) -> Json:
    """Return the metadata of a benchmark that was made, as JSON-LD.

    Args:
        specification: of the benchmark.
        samples: all of them, with a column for each question.
        table: the file that holds these.
    """
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": specification.name,
        "description": f"{specification.title}. {_line(specification.description)}",
        "version": f"{specification.version}.0.0",
        "license": specification.licence,
        "citeAs": _line(specification.citation),
        "creator": {"@type": "sc:Organization", "name": "The spiketype developers"},
        "isLiveDataset": False,
        **_responsible(specification),
        "distribution": _distribution(specification, table),
        "recordSet": [_records(specification, samples)],
    }


def _line(text: str) -> str:
    return " ".join(text.split())


def _distribution(specification: Specification, table: File) -> list[Json]:
    found: list[Json] = [
        {
            "@type": "cr:FileObject",
            "@id": SAMPLES,
            "name": SAMPLES,
            "description": "names, labels, groups and parts of all samples",
            "contentUrl": SAMPLES,
            "contentSize": f"{table.size} B",
            "encodingFormat": "application/x-parquet",
            "sha256": table.sha256,
        }
    ]
    if specification.generator.kind in GENERATED:
        found.append(
            {
                "@type": "cr:FileSet",
                "@id": DATA,
                "name": DATA,
                "description": "arrays of the samples, a Zarr 3 group; manifest.json has the SHA-256 of each file",
                "encodingFormat": "application/vnd.zarr",
                "includes": f"{DATA}/**",
            }
        )
    return found


def _records(specification: Specification, samples: Samples) -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": f"the {len(samples['id'])} samples",
        "key": {"@id": "samples/id"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"samples/{name}",
                "name": name,
                "description": _about(name, specification),
                "dataType": {"f": "sc:Float", "i": "sc:Integer", "u": "sc:Integer"}.get(values.dtype.kind, "sc:Text"),
                "source": {"fileObject": {"@id": SAMPLES}, "extract": {"column": name}},
            }
            for name, values in samples.items()
        ],
    }


def _about(column: str, specification: Specification) -> str:
    if column in specification.question:
        return f"part of the sample in the question {column}: {specification.questions[column].title}"
    return COLUMNS.get(column, column)


def _responsible(specification: Specification) -> Json:
    """Return the responsible-AI fields."""
    kind = specification.generator.kind
    questions = specification.questions
    people = (
        "Cells of human donors are called by the pseudonyms under which the Allen Institute publishes them; nothing "
        "else of the donors is in the data."
        if kind in HUMAN
        else "None: nothing in the data is of a person."
    )
    return {
        "rai:dataCollection": made_by(specification.generator),
        "rai:dataCollectionType": "Simulations" if kind in GENERATED else "Secondary Data Analysis",
        "rai:dataLimitations": list(specification.flaws),
        "rai:dataBiases": [
            f"{name}: split {why(each.split)}" for name, each in questions.items() if each.split.optimistic
        ]
        or ["No split has a group on both sides."],
        "rai:dataUseCases": [f"{name}: {each.title}" for name, each in questions.items()],
        "rai:dataAnnotationProtocol": "Labels are those of the cell models that were simulated."
        if kind in GENERATED
        else "Labels are those that were published with the sources.",
        "rai:personalSensitiveInformation": people,
        "rai:dataReleaseMaintenancePlan": "Data, questions and splits of a version never "
        "change; what is found to be wrong with them is mended in the next.",
    }
