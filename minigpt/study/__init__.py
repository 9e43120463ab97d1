"""Looking inside: every activation and gradient by name, changing them, checking gradients, exercises, and what a run costs."""
