-- Studies of which no draft can be made, for a reason that somebody has to mend.

CREATE INDEX desk_parked ON desk (study) WHERE reason <> '';
