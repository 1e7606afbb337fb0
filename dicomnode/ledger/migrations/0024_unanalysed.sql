-- Which studies have instances that no model has seen is asked for every list of studies.
CREATE INDEX instance_unanalysed ON instance (study) WHERE state IN ('failed', 'not-analysed');
