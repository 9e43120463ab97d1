"""Tools to look inside a model: traces, interventions, gradient and health checks, costs, reports, the lab, exercises."""
