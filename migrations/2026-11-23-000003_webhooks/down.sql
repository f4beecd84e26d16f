DROP TABLE webhook_occupancy;
DROP TABLE webhook_deliveries;
DROP TABLE webhook_endpoints;
