TITLE Slow potassium channel, the deterministic limit of StochKv

COMMENT
Written for spiketype from the equations of the channel's NeuroML form: rates of the kind HHExpLinear, which are
r x/(1 - exp(-x)) with x = (v - midpoint)/scale. A temperature is in kelvin.
ENDCOMMENT

NEURON {
	SUFFIX StochKv_deterministic
	USEION k READ ek WRITE ik
	RANGE gmax, conductance, ik
	RANGE n_instances, n_forwardRate_rate, n_forwardRate_midpoint, n_forwardRate_scale
	RANGE n_reverseRate_rate, n_reverseRate_midpoint, n_reverseRate_scale
	RANGE n_q10Settings_q10Factor, n_q10Settings_experimentalTemp, n_q10Settings_TENDEGREES
	RANGE q10ConductanceScaling_q10Factor, q10ConductanceScaling_experimentalTemp
}

UNITS {
	(mA) = (milliamp)
	(mV) = (millivolt)
	(S) = (siemens)
}

PARAMETER {
	gmax = 0 (S/cm2)
	conductance = 1e-5 : of one channel (uS): cell files give it, the current does not depend on it
	n_instances = 1
	n_forwardRate_rate = 0.18 (/ms)
	n_forwardRate_midpoint = -40 (mV)
	n_forwardRate_scale = 9 (mV)
	n_reverseRate_rate = 0.018 (/ms)
	n_reverseRate_midpoint = -40 (mV)
	n_reverseRate_scale = -9 (mV)
	n_q10Settings_q10Factor = 2.3
	n_q10Settings_experimentalTemp = 296.15
	n_q10Settings_TENDEGREES = 10
	q10ConductanceScaling_q10Factor = 2.3
	q10ConductanceScaling_experimentalTemp = 296.15
}

ASSIGNED {
	v (mV)
	celsius (degC)
	ek (mV)
	ik (mA/cm2)
	ninf
	ntau (ms)
}

STATE { n }

BREAKPOINT {
	SOLVE states METHOD cnexp
	ik = gmax*scaling()*n^n_instances*(v - ek)
}

INITIAL {
	rates(v)
	n = ninf
}

DERIVATIVE states {
	rates(v)
	n' = (ninf - n)/ntau
}

FUNCTION scaling() {
	UNITSOFF
	scaling = q10ConductanceScaling_q10Factor^((celsius + 273.15 - q10ConductanceScaling_experimentalTemp)/10)
	UNITSON
}

FUNCTION linear(x) {
	UNITSOFF
	if (fabs(x) < 1e-6) {
		linear = 1 + x/2
	} else {
		linear = x/(1 - exp(-x))
	}
	UNITSON
}

PROCEDURE rates(v (mV)) {
	LOCAL a, b, q
	UNITSOFF
	a = n_forwardRate_rate*linear((v - n_forwardRate_midpoint)/n_forwardRate_scale)
	b = n_reverseRate_rate*linear((v - n_reverseRate_midpoint)/n_reverseRate_scale)
	q = n_q10Settings_q10Factor^((celsius + 273.15 - n_q10Settings_experimentalTemp)/n_q10Settings_TENDEGREES)
	ninf = a/(a + b)
	ntau = 1/((a + b)*q)
	UNITSON
}
