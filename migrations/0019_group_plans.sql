-- The plans of a group's statements are made once a session. Which way each of them goes is said in its text (0018); what it was
-- planned anew for is only how many members the arrays have, and that was a fifth of what the database did for a step.
ALTER FUNCTION holdpoint.write_all_v1(
  text[], text[], text[], bigint[], bigint[], text[], timestamptz[], bigint[], bigint[],
  text[], text[], integer[], text[], text[], text[],
  text[], text[], text[], text[], text[],
  text[], text[], text[], text[], text[], bigint[], bigint[], jsonb[]
) SET plan_cache_mode = force_generic_plan;
