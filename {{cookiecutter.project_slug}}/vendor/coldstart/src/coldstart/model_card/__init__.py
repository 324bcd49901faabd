"""The model card."""

from coldstart.model_card._card import model_card

__all__ = ["model_card"]
