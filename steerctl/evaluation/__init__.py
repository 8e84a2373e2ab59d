"""What a score is worth: accuracy, pass@k and maj@k of questions with several samples each, and their error bars.

A question is the unit that was drawn, its samples are not: N questions with k samples are N numbers, or fewer where
questions share a source. Pure NumPy on arrays `correct_PG` (P questions, G samples of each); the same functions take
training seeds as their unit.
"""
