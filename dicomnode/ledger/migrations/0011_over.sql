-- When an order has said that the examination is over: no report waits for more images that came before.

ALTER TABLE exam ADD COLUMN over_at INTEGER;
