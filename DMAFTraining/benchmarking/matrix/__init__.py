"""A grid of training runs (setting x method x seed), run and scored to the end by one worker or many."""
