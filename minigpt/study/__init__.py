"""Tools to look inside a model: traces, interventions, gradient checks, health checks, costs, reports, the lab and exercises."""
