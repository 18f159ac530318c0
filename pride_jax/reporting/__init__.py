"""What a run shows: metrics, plots, disclosure."""
