"""The cells of a simulated raphe data set: the published days, names and counts, and what a cell is like.

Corradetti et al. 2024, as far as it can be read from their repository. Published: cells and spikes of each day
(`PUBLISHED`, 108 serotonergic and 45 other cells), the upstroke-downstroke interval (UDI) of 150 + 150 cells
(`UDI_MS`), sizes of trough and hump, noise, rate and regularity. Not published: any other difference in shape. Here
serotonergic spikes are broader and more asymmetric in the ways the literature on these neurons names (slower upstroke,
a shoulder and a slow return in the repolarisation: Aghajanian and Vandermaelen 1982; Kirby et al. 2003), by amounts
that are this project's choice: `CONTRAST` in units that ``contrast`` scales, and 0 leaves the UDI alone to tell.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

# Appendix A: recording day, and the spikes of each of its cells by the number of the recording.
PUBLISHED: dict[bool, str] = {
    True: """
A131024 089:172 092:380 095:101 098:288 101:374 104:185 107:240 110:252 113:319 116:131 119:149 125:214 170:601 173:477
 176:494 182:317 194:434 199:131 202:189 205:242 215:170 227:162 233:270 239:194
A131031 016:188 025:417 028:306 037:165 043:271 049:357 094:299 103:312 118:462 147:511 159:446 162:393 165:342 173:190
 179:157 182:183 188:223 191:141 194:239
A140121 004:166 017:35 057:255
A140122 075:348 080:700 096:217 104:89 115:319 117:311 119:321
A140212 027:136 034:250 036:111
A140313 008:224 010:120 012:150 022:242 028:206 032:205 034:190 036:187 038:222 040:180 044:205 046:150 048:208 050:201
 052:352 054:189 068:298 070:296 073:208 074:261 075:226
A140724 043:95
A140725 003:125 006:486 009:293 029:300 030:179
A140910 006:217 008:219
A150515 001:262 003:481 007:366 012:453 018:682
A150618 001:511 004:312 007:411
A150619 004:296
A150629 019:391 029:416
A150630 013:482 028:356 034:400
A150701 005:259 009:159 018:125 024:177 032:305 034:187 058:584 066:153
A151015 010:225
""",
    False: """
A131024 140:700 143:700 146:226
A131031 046:132 085:138 138:700 170:418 176:120 185:173
A140121 044:432
A140212 002:56 006:124
A140313 042:610 062:700
A140725 057:250
A160118 020:628 023:31
A160125 037:637 059:15 063:292 071:15 089:27 095:311
A160127 015:183 019:688 021:341 023:494 025:127 027:340 029:426 037:16
A160322 007:38 010:168 013:201 016:321
A160420 007:60 013:101 023:20 033:496 043:30
F160324 015:376
F160411 014:700 016:46 021:437 051:510
""",
}

# Appendix B, Figure 2: lower edge of a bin of 0.05 ms, in hundredths of a millisecond: cells, 150 of each class.
UDI_MS: dict[bool, str] = {
    True: "20:1 25:2 35:1 50:2 55:1 60:2 65:2 70:5 75:6 80:2 85:6 90:3 95:5 100:10 105:4 110:11 115:5 120:6 125:9 "
    "130:6 135:4 140:7 145:7 150:10 155:4 160:6 165:7 170:2 175:3 180:1 185:3 195:2 200:1 205:1 220:1 225:1 370:1",
    False: "15:3 20:12 25:12 30:6 35:16 40:8 45:6 50:20 55:9 60:19 65:6 70:12 75:15 80:2 85:4",
}
UDI_BIN_MS = 0.05
ATYPICAL_MS = 0.9  # a serotonergic cell with a shorter UDI is atypical: 30 of 150; no other cell's is as long

# Name: median, spread of its logarithm between cells, and the logarithm of serotonergic over other cells.
CONTRAST: dict[str, tuple[float, float, float]] = {
    "upstroke_ms": (0.052, 0.14, 0.15),  # sigma of the fall into the trough
    "recovery_ms": (0.090, 0.16, 0.18),  # sigma of the rise out of it
    "rise": (0.36, 0.12, 0.10),  # sigma of the hump's rise over the UDI
    "decay_ms": (0.20, 0.18, 0.34),  # of the hump, at a UDI of 0.7 ms
    "shoulder": (0.18, 0.40, 0.60),  # height of the shoulder over the hump's
}


@dataclass(frozen=True)
class Cell:
    """One simulated cell and how it was recorded. Lengths in ms, currents in pA, relative spreads without unit."""

    name: str
    day: str
    serotonergic: bool
    spikes: int
    udi_ms: float
    trough_pA: float
    hump_pA: float
    upstroke_ms: float
    recovery_ms: float
    rise: float
    decay_ms: float
    shoulder: float
    rate_Hz: float
    isi_cv: float
    run_down: float
    baseline_pA: float
    drift_pA: float
    noise_rms_pA: float
    cutoff_kHz: float

    @property
    def atypical(self) -> bool:
        """Whether it is serotonergic, but has the short interval of the others."""
        return self.serotonergic and self.udi_ms < ATYPICAL_MS


def published() -> list[tuple[str, str, bool, int]]:
    """Return (name, day, serotonergic, spikes) of the 153 published cells, sorted by name."""
    rows = []
    for serotonergic, table in PUBLISHED.items():
        for line in table.replace("\n ", " ").strip().splitlines():
            day, *cells = line.split()
            rows += [(f"{day}#{c.split(':')[0]}", day, serotonergic, int(c.split(":")[1])) for c in cells]
    return sorted(rows)


def histogram(serotonergic: bool) -> tuple[Float[np.ndarray, " bin"], Int[np.ndarray, " bin"]]:
    """Return the lower bin edges (ms) of the published UDI histogram of a class, and the cells in each bin."""
    pairs = [item.split(":") for item in UDI_MS[serotonergic].split()]
    return np.array([int(edge) / 100 for edge, _ in pairs]), np.array([int(n) for _, n in pairs])


def rng(seed: int, name: str, *what: int) -> np.random.Generator:
    """Return the random numbers of one thing, whatever else is simulated."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *what])


def levels(seed: int, serotonergic: bool, cells: int, copy: int = 0) -> Float[np.ndarray, " {cells}"]:
    """Draw where the UDI of each cell of a class lies in its distribution, 0..1: one in each of as many equal parts.

    Drawn independently, 153 cells would have 14 to 35 atypical ones; the published share is 20 %.
    """
    random = rng(seed, "levels", int(serotonergic), copy)
    return (random.permutation(cells) + random.random(cells)) / cells


def udi_at(serotonergic: bool, level: float) -> float:
    """Return the UDI (ms) below which a share `level` of the published cells of a class lies."""
    edge, count = histogram(serotonergic)
    below = np.cumsum(count) - count
    k = int(np.searchsorted(below, level * count.sum(), side="right")) - 1
    return float(edge[k] + UDI_BIN_MS * (level * count.sum() - below[k]) / count[k])


def draw(seed: int, name: str, day: str, serotonergic: bool, spikes: int, level: float, contrast: float = 1.0) -> Cell:
    """Draw a cell as a pure function of the arguments.

    ``level`` is where its UDI lies among those of its class (`levels`); ``contrast`` scales the class difference
    beyond the UDI.
    """
    random = rng(seed, name, 0)
    udi = udi_at(serotonergic, level)
    side = 0.5 if serotonergic else -0.5
    z = random.standard_normal(12)
    shape = {
        key: median * np.exp(side * contrast * ratio + spread * z[i])
        for i, (key, (median, spread, ratio)) in enumerate(CONTRAST.items())
    }
    # Short spikes are short throughout, in both classes: only what is left of the differences can tell.
    shape["recovery_ms"] = min(shape["recovery_ms"], 0.3 * udi)
    shape["decay_ms"] *= (udi / 0.7) ** 0.4
    shape["shoulder"] = min(shape["shoulder"], 0.5)
    return Cell(
        name=name,
        day=day,
        serotonergic=serotonergic,
        spikes=spikes,
        udi_ms=udi,
        trough_pA=float(np.clip(82 * np.exp(0.18 * z[5]), 60, 120)),
        hump_pA=float(np.clip(14.5 * np.exp(0.18 * z[6]), 10, 20)),
        **{key: float(value) for key, value in shape.items()},
        rate_Hz=float(2.0 * np.exp(0.35 * z[7])),
        # Mlinar et al. 2016: ISI CV below 0.5 in 97 % of cells, correlated with the rate by -0.33.
        isi_cv=float(0.21 * np.exp(0.46 * (-0.33 * z[7] + np.sqrt(1 - 0.33**2) * z[8]))),
        run_down=float(random.uniform(-0.1, 0.15)),
        baseline_pA=float(5 * z[9]),
        drift_pA=float(1.5 * np.exp(0.4 * z[10])),
        noise_rms_pA=float(random.uniform(2.9, 4.0)),
        cutoff_kHz=float(random.uniform(6.5, 9.0)),
    )
