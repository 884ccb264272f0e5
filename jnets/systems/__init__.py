"""Systems: what trained models of a kind are for, beside telling classes of pictures.

A system's file has its `Spec`, how an input as a person gives it becomes what the model
takes, as data that config.json holds; and what turns the model's outputs into answers.
"""
