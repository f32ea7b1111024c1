By0J(±{CAyèmA-%A‚9:A
³\AÃÙTAT®UAi’2AÍ{AReDA