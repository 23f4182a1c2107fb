"""Step Functions: moto's interpreter runs the state machines, and what it lacks is put in here."""
