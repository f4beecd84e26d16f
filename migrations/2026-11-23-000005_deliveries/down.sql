DROP TABLE suppressions;
DROP TABLE attempts;
DROP TABLE deliveries;
