"""What is checked, a module for each chapter: EXERCISES, in order."""
