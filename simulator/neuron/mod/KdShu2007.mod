TITLE K-D current

COMMENT
Written for spiketype from the published kinetics: Shu, Yu, Yang, McCormick (PNAS 104, 2007, 11453), as the
somatosensory models of the Blue Brain Project have them. Its reversal potential is its own, not the ion's.
ENDCOMMENT

NEURON {
	SUFFIX KdShu2007
	USEION k WRITE ik
	RANGE gkbar, ik, ek
}

UNITS {
	(mA) = (milliamp)
	(mV) = (millivolt)
	(S) = (siemens)
}

PARAMETER {
	gkbar = 0 (S/cm2)
	ek = -100 (mV)
	mtau = 0.6 (ms)
	htau = 1500 (ms)
}

ASSIGNED {
	v (mV)
	ik (mA/cm2)
	minf
	hinf
}

STATE { m h }

BREAKPOINT {
	SOLVE states METHOD cnexp
	ik = gkbar*m*h*(v - ek)
}

INITIAL {
	rates(v)
	m = minf
	h = hinf
}

DERIVATIVE states {
	rates(v)
	m' = (minf - m)/mtau
	h' = (hinf - h)/htau
}

PROCEDURE rates(v (mV)) {
	UNITSOFF
	minf = 1 - 1/(1 + exp((v + 43)/8))
	hinf = 1/(1 + exp((v + 67)/7.3))
	UNITSON
}
