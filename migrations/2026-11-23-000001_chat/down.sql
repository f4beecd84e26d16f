DROP TABLE socket_tickets;
DROP TABLE messages;
DROP TABLE members;
DROP TABLE rooms;
DROP TABLE users;
DROP TABLE app_api_keys;
DROP TABLE apps;
