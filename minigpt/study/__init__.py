"""Tools to look inside a model: traces, interventions, gradient checks, health checks, costs, reports and exercises."""
