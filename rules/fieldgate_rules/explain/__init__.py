"""Why a rule did what it did, or did not."""
