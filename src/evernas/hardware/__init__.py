"""Devices, the measurement protocol and the latency model; torch is for evernas.hardware.export alone."""
