DROP TABLE publication_ids;
DROP TABLE publications;
DROP TABLE streams;
