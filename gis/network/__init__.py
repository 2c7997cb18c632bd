"""Streets as a network: their names, house numbers and crossings."""
