"""Operations that several networks share."""
