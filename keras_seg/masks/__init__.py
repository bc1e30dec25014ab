"""Operations on masks that losses, metrics and inference share: labels, distances, counts."""
