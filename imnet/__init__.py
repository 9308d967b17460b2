"""IM-NET, implicit fields for generative shape modelling (Chen, Zhang 2019, improved version)."""
